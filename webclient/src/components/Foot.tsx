import { signOut } from "../actions";
import { hello } from "../client";
import { theme, toggleTheme } from "../theme";
import { token } from "../token";
import { IconButton } from "./IconButton";
import { Door, Moon, Sun } from "./icons";

/** Under the list: who is here, and what server it is. */
export function Foot() {
  const dark = theme() === "dark";
  const server = hello.value;
  const signedIn = token.value !== null;
  const about = server ? `${server.server} ${server.version}` : "";
  return (
    <div class="sidebar-foot">
      <span title={about} data-testid="principal">
        {signedIn && server ? server.principal.name || server.principal.id : about}
      </span>
      {signedIn && (
        <IconButton label="Sign out" testId="sign-out" onClick={signOut}>
          <Door />
        </IconButton>
      )}
      <IconButton label={dark ? "Use light colours" : "Use dark colours"} testId="theme-toggle" onClick={toggleTheme}>
        {dark ? <Sun /> : <Moon />}
      </IconButton>
    </div>
  );
}
