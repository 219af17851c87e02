import "@fontsource-variable/hanken-grotesk/wght.css";
import "@fontsource-variable/hanken-grotesk/wght-italic.css";
import "@fontsource-variable/geist-mono/wght.css";
import "./styles/index.css";
import { render } from "preact";
import { start } from "./client";
import { App } from "./components/App";
import { listenToKeys } from "./keys";
import { watchRoute } from "./open-thread";
import { watchThreadList } from "./thread-list";

watchRoute();
watchThreadList();
listenToKeys();
start();
render(<App />, document.getElementById("app")!);
