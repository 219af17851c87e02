import { useEffect } from "preact/hooks";
import { openProblem, openThread } from "../open-thread";
import { route } from "../route";
import { drawerOpen, settingsOpen, switcherOpen } from "../view";
import { Announcer } from "./Announcer";
import { Banner } from "./Banner";
import { Composer } from "./Composer";
import { Conversation } from "./Conversation";
import { Corner } from "./Corner";
import { EmptyState } from "./EmptyState";
import { focusComposer } from "./focus";
import { Header } from "./Header";
import { Settings } from "./Settings";
import { Sidebar } from "./Sidebar";
import { Switcher } from "./Switcher";
import { Toasts } from "./Toasts";

export function App() {
  useEffect(() => {
    // On a touch screen this would unfold the keyboard over the conversation.
    if (matchMedia("(hover: hover)").matches) focusComposer();
  }, []);
  return (
    <div class="page">
      <Sidebar />
      <main class="main" inert={drawerOpen.value}>
        <Banner />
        <Header />
        <Middle />
        <div class="dock">
          <Toasts />
          <Composer />
          <Corner />
        </div>
      </main>
      <Announcer />
      {settingsOpen.value && <Settings />}
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
  if (view?.thread.messages.length || view?.deleted) return <Conversation view={view} />;
  if (view || !route.value) return <EmptyState />;
  return <div class="conversation" aria-busy="true" />;
}
