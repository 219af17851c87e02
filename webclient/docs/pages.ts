import "@fontsource-variable/hanken-grotesk/wght.css";
import "@fontsource-variable/geist-mono/wght.css";
import "../src/styles/tokens.css";
import "./pages.css";
