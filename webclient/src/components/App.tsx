import { useEffect } from "preact/hooks";
import { askedIn, status } from "../client";
import { openProblem, openThread } from "../open-thread";
import { route } from "../route";
import { drawerOpen, settingsOpen, sharing, switcherOpen } from "../view";
import { Announcer } from "./Announcer";
import { Composer } from "./Composer";
import { Conversation } from "./Conversation";
import { Corner } from "./Corner";
import { EmptyState } from "./EmptyState";
import { focusComposer } from "./focus";
import { Header } from "./Header";
import { TypingLine } from "./People";
import { Settings } from "./Settings";
import { Share } from "./Share";
import { Sidebar } from "./Sidebar";
import { SignIn } from "./SignIn";
import { StateLine } from "./StateLine";
import { Switcher } from "./Switcher";
import { Toasts } from "./Toasts";

export function App() {
  return askedIn.value ? <SignIn /> : <Page />;
}

function Page() {
  useEffect(() => {
    // On a touch screen this would unfold the keyboard over the conversation.
    if (matchMedia("(hover: hover)").matches) focusComposer();
  }, []);
  return (
    <div class="page" data-connection={status.value.kind}>
      <Sidebar />
      <main class="main" inert={drawerOpen.value}>
        <StateLine />
        <Header />
        <Middle />
        <div class="dock">
          <Toasts />
          <TypingLine />
          <Composer />
          <Corner />
        </div>
      </main>
      <Announcer />
      {settingsOpen.value && <Settings />}
      {sharing.value && <Share />}
      {switcherOpen.value && <Switcher />}
    </div>
  );
}

function Middle() {
  const view = openThread.value;
  if (openProblem.value) {
    return (
      <div class="conversation">
        <p class="notice" data-testid="problem">
          {openProblem.value}
        </p>
      </div>
    );
  }
  if (view?.thread.messages.length || view?.gone) return <Conversation view={view} />;
  if (view || !route.value) return <EmptyState />;
  return <div class="conversation" aria-busy="true" />;
}
