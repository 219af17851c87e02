import { dismiss, toasts } from "../toast";
import { Cross } from "./icons";
import { IconButton } from "./IconButton";

export function Toasts() {
  return (
    <div class="toasts" role="alert">
      {toasts.value.map(({ id, text }) => (
        <div key={id} class="toast" data-testid="toast">
          <p>{text}</p>
          <IconButton label="Dismiss" onClick={() => dismiss(id)}>
            <Cross />
          </IconButton>
        </div>
      ))}
    </div>
  );
}
