import { Dialog } from "./Dialog";

interface Props {
  question: string;
  detail: string;
  yes: string;
  onYes: () => void;
  onNo: () => void;
}

export function Confirm({ question, detail, yes, onYes, onNo }: Props) {
  return (
    <Dialog label={question} kind="confirm" onClose={onNo}>
      <h2>{question}</h2>
      <p>{detail}</p>
      <div class="buttons">
        <button type="button" class="button" autofocus onClick={onNo}>
          Keep it
        </button>
        <button type="button" class="button strong" data-testid="confirm-yes" onClick={onYes}>
          {yes}
        </button>
      </div>
    </Dialog>
  );
}
