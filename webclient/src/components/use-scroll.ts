import { type RefObject } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

const NEAR_PX = 32;

interface Scroll {
  frame: RefObject<HTMLDivElement | null>;
  content: RefObject<HTMLDivElement | null>;
  atEnd: boolean;
  toEnd: () => void;
  /** Do something that puts content in front, and keep what is looked at where it is. */
  holding: (change: () => Promise<void>) => Promise<void>;
}

/** A frame that follows its growing content while the reader is at the end, and never pulls one who is not. */
export function useScroll(of: string): Scroll {
  const frame = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  const fromEnd = useRef<number | null>(null);
  const [atEnd, setAtEnd] = useState(true);

  const toEnd = () => {
    follows.current = true;
    setAtEnd(true);
    if (frame.current) frame.current.scrollTop = frame.current.scrollHeight;
  };

  useLayoutEffect(toEnd, [of]);
  useLayoutEffect(() => {
    const box = frame.current;
    const inner = content.current;
    if (!box || !inner) return;
    let last = box.scrollTop;
    const distance = () => box.scrollHeight - box.scrollTop - box.clientHeight;
    const onScroll = () => {
      // Any move up is the reader's: what follows the text only ever moves down.
      if (box.scrollTop < last && distance() > 2) follows.current = false;
      if (distance() <= NEAR_PX && box.scrollTop >= last) follows.current = true;
      last = box.scrollTop;
      setAtEnd(distance() <= NEAR_PX);
    };
    const onGrowth = () => {
      if (fromEnd.current !== null) box.scrollTop = box.scrollHeight - fromEnd.current;
      else if (follows.current) box.scrollTop = box.scrollHeight;
      setAtEnd(distance() <= NEAR_PX);
    };
    const growth = new ResizeObserver(onGrowth);
    growth.observe(inner);
    growth.observe(box);
    box.addEventListener("scroll", onScroll, { passive: true });
    return () => {
      growth.disconnect();
      box.removeEventListener("scroll", onScroll);
    };
  }, []);

  const holding = async (change: () => Promise<void>) => {
    const box = frame.current;
    if (!box) return;
    follows.current = false;
    fromEnd.current = box.scrollHeight - box.scrollTop;
    await change();
    // Two frames: one renders what came, in the next one its size is known.
    requestAnimationFrame(() => requestAnimationFrame(() => (fromEnd.current = null)));
  };

  return { frame, content, atEnd, toEnd, holding };
}
