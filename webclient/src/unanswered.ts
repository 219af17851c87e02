import { CommandError, CutError } from "./errors";
import type { Commands, CommandType, Reply } from "./wire";

interface Waiting {
  frame: string;
  repeatable: boolean;
  resolve(ok: unknown): void;
  reject(error: Error): void;
}

/** The commands that were sent and not answered yet. It never sends anything itself. */
export class Unanswered {
  private readonly waiting = new Map<number, Waiting>();
  private lastId = 0;

  /** Note a command: the frame to send, and the promise of its answer. */
  add<K extends CommandType>(type: K, fields: Commands[K]["send"]): { frame: string; answer: Promise<Commands[K]["ok"]> } {
    const id = ++this.lastId;
    const frame = JSON.stringify({ type, id, ...fields });
    const answer = new Promise<Commands[K]["ok"]>((resolve, reject) => {
      this.waiting.set(id, { frame, repeatable: isRepeatable(type, fields), resolve: resolve as Waiting["resolve"], reject });
    });
    return { frame, answer };
  }

  /** Settle the command that a reply answers; a reply to nothing is ignored. */
  settle({ id, ok, error }: Reply): void {
    const waiting = this.waiting.get(id);
    if (!waiting) return;
    this.waiting.delete(id);
    if (error) waiting.reject(new CommandError(error));
    else waiting.resolve(ok ?? {});
  }

  /** The session was cut: fail what must not be sent again, or everything where there is no return. */
  cut(everything: boolean): void {
    for (const [id, { repeatable, reject }] of this.waiting) {
      if (repeatable && !everything) continue;
      this.waiting.delete(id);
      reject(new CutError());
    }
  }

  /** What is sent again after a return, in the order in which it was sent first. */
  frames(): string[] {
    return [...this.waiting.values()].map(({ frame }) => frame);
  }
}

/** Whether a command may arrive twice: the server knows it again by its key, or the second time changes nothing. */
function isRepeatable(type: CommandType, fields: object): boolean {
  if ("key" in fields || type === "cancel") return true;
  return type === "thread.create" && "if_exists" in fields && fields.if_exists === "get";
}
