import type { ComponentChildren } from "preact";

function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" focusable="false">
      {children}
    </svg>
  );
}

const stroke = (path: string) => () => (
  <Icon>
    <path d={path} />
  </Icon>
);

export const Plus = stroke("M10 4v12M4 10h12");
export const Cross = stroke("M5 5l10 10M15 5L5 15");
export const Check = stroke("M4 10.5l4 4 8-9");
export const Pencil = stroke("M4 16l.8-3.6L13.2 4a1.5 1.5 0 0 1 2.1 0l.7.7a1.5 1.5 0 0 1 0 2.1L7.6 15.2 4 16zM11.8 5.4l2.8 2.8");
export const Bin = stroke("M4 5.5h12M8 5.5V4h4v1.5M5.5 5.5l.7 10.5h7.6l.7-10.5M8.5 8.5v4.5M11.5 8.5v4.5");
export const Again = stroke("M15.5 10a5.5 5.5 0 1 1-1.8-4.1L15.5 7.5M15.5 3.5v4h-4");
export const Onward = stroke("M4 5.5v9M8 10h8M12.5 6.5L16 10l-3.5 3.5");
export const Fork = stroke("M6 4v12M6 12c0-4 8-2 8-6.5M14 5.5V4M11.5 6.5L14 4l2.5 2.5");
export const Copy = stroke("M7.5 7.5h8v8h-8zM12.5 7.5v-3h-8v8h3");
export const ArrowUp = stroke("M10 16V4M5 9l5-5 5 5");
export const ArrowDown = stroke("M10 4v12M5 11l5 5 5-5");
export const Menu = stroke("M3.5 6.5h13M3.5 13.5h8");
export const Sliders = stroke("M3.5 6.5h7M14.5 6.5h2M3.5 13.5h2M9.5 13.5h7M12.5 4.5v4M7.5 11.5v4");
export const Moon = stroke("M15.5 12.2A6.3 6.3 0 0 1 7.8 4.5 6.3 6.3 0 1 0 15.5 12.2z");
export const Sun = stroke("M10 6.8a3.2 3.2 0 1 1 0 6.4 3.2 3.2 0 0 1 0-6.4zM10 2v1.8M10 16.2V18M2 10h1.8M16.2 10H18M4.3 4.3l1.3 1.3M14.4 14.4l1.3 1.3M4.3 15.7l1.3-1.3M14.4 5.6l1.3-1.3");
export const Search = stroke("M9 3.8a5.2 5.2 0 1 1 0 10.4A5.2 5.2 0 0 1 9 3.8zM13 13l3.5 3.5");

export const Share = stroke("M10 12.5V3.5M6.5 6.5L10 3l3.5 3.5M5 10v6.5h10V10");
export const People = stroke("M7.5 4.5a2.6 2.6 0 1 1 0 5.2 2.6 2.6 0 0 1 0-5.2zM2.5 16c.4-2.6 2.4-4 5-4s4.6 1.4 5 4M12.5 4.8a2.6 2.6 0 0 1 0 4.6M14.5 12.4c1.6.5 2.7 1.7 3 3.6");
export const Window = stroke("M3.5 5h13v10.5h-13zM3.5 8.5h13");
export const Door = stroke("M8.5 4h-4v12h4M8 10h8.5M13 6.5l3.5 3.5-3.5 3.5");

export const Stop = () => (
  <Icon>
    <rect x="5.5" y="5.5" width="9" height="9" rx="1.5" fill="currentColor" stroke="none" />
  </Icon>
);

export const Mark = () => (
  <svg class="mark" viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
    <path d="M9 3v10c0 9 13 9 13 1.5c0-6.5-9-5.5-9 2V22" />
    <circle cx="13" cy="27" r="3.5" />
  </svg>
);
