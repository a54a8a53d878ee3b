import { mount } from "svelte";
import App from "./App.svelte";
import { api } from "./api";
import { connection } from "./connection.svelte";
import { language } from "./i18n/language.svelte";
import { startRouter } from "./router.svelte";
import { startShortcuts } from "./shortcuts.svelte";
import { startStream } from "./stream";
import { startPrinting } from "./printing.svelte";
import { theme } from "./theme.svelte";
import "./tokens.css";
import "./base.css";

theme.start();
startPrinting();
document.documentElement.lang = language.locale; // as `language.set` does
connection.probeWith(() => api.session());
startRouter();
startShortcuts();
startStream();
mount(App, { target: document.getElementById("app")! });
