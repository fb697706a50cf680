// The console: fetches what its views show, again whenever the server says that it changed.

import { get, post } from "./api.js";
import { askAbort, askRollout, showDevice, showToken } from "./dialogs.js";
import { h } from "./dom.js";
import * as views from "./views.js";

const TITLES = { rollout: "Rollout", rollouts: "Rollouts", devices: "Devices", releases: "Releases", groups: "Groups", audit: "Audit log" };
const state = { devices: [], releases: [], rollouts: [], groups: {}, audit: [] };
const sections = [...document.querySelectorAll("[data-view]")];
const notice = document.getElementById("notice");

const loaders = {
  devices: () => get("/api/v1/devices"),
  releases: () => get("/api/v1/releases"),
  groups: () => get("/api/v1/groups"),
  audit: () => get("/api/v1/audit/entries?limit=200"),
  rollouts: async () => {
    const all = await get("/api/v1/rollouts");
    return Promise.all(all.slice(0, 20).map((rollout) => get(`/api/v1/rollouts/${encodeURIComponent(rollout.id)}`)));
  },
};

async function attempt(act) {
  try {
    await act();
    notice.hidden = true;
  } catch (error) {
    notice.textContent = error.message;
    notice.hidden = false;
    notice.scrollIntoView({ block: "nearest" });
  }
}

const actions = {
  showDevice: (device) => showDevice(device, () => attempt(async () => {
    await post(`/api/v1/devices/${encodeURIComponent(device.id)}/revoke`);
    await load(["devices", "audit"]);
  })),
  startRollout: (release) => askRollout(state, release, (wanted) => attempt(async () => {
    await post("/api/v1/rollouts", wanted);
    await load(["rollouts", "audit"]);
  })),
  move: (rollout, verb) => {
    const act = (body) => attempt(async () => {
      await post(`/api/v1/rollouts/${encodeURIComponent(rollout.id)}/${verb}`, body);
      await load(["rollouts", "audit"]);
    });
    if (verb === "abort") askAbort(rollout, act);
    else act({});
  },
};

function render() {
  for (const section of sections) {
    const { view, full } = section.dataset;
    const head = section.querySelector("header") ?? h("header", {}, h("h2", {}, TITLES[view]));
    const focus = document.activeElement?.textContent;
    const hadFocus = section.contains(document.activeElement);
    section.replaceChildren(head, views[view](state, actions, full === "yes"));
    if (hadFocus) [...section.querySelectorAll("button")].find((button) => button.textContent === focus)?.focus();
  }
  const here = state.devices.filter((device) => !device.revoked);
  const online = here.filter((device) => device.online).length;
  const running = state.rollouts.filter((status) => status.rollout.state === "running").length;
  document.getElementById("summary").textContent =
    `${online} of ${many(here.length, "device")} online · ${many(state.releases.length, "release")} · ${running ? many(running, "rollout") : "no rollout"} running`;
}

async function load(topics) {
  await Promise.all(topics.map(async (topic) => { state[topic] = await loaders[topic](); }));
  render();
}

function listen() {
  const live = document.getElementById("live");
  const source = new EventSource("/api/v1/stream");
  source.onopen = () => {
    live.textContent = "live";
    live.classList.add("on");
    attempt(() => load(Object.keys(loaders)));
  };
  source.onerror = () => {
    live.textContent = "reconnecting";
    live.classList.remove("on");
    if (source.readyState === EventSource.CLOSED) attempt(() => get("/api/v1/status")).then(() => setTimeout(listen, 3000));
  };
  source.onmessage = (event) => {
    const topics = JSON.parse(event.data).filter((topic) => topic in loaders);
    if (topics.length) attempt(() => load(topics));
  };
}

const many = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

function applyTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
}

document.getElementById("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
  localStorage.setItem("theme", dark ? "light" : "dark");
  applyTheme(localStorage.getItem("theme"));
});
document.getElementById("logout").addEventListener("click", () => attempt(async () => {
  await post("/api/v1/logout");
  location.assign("/login");
}));
document.getElementById("start").addEventListener("click", () => actions.startRollout(state.releases[0]));
document.getElementById("enrol").addEventListener("click", () => attempt(async () => {
  showToken(await post("/api/v1/tokens", { uses: 1 }));
}));

applyTheme(localStorage.getItem("theme"));
render();
listen();
// The server works out "58 s left" when it is asked.
setInterval(() => {
  const running = state.rollouts.some((status) => status.rollout.state === "running");
  if (running && !document.hidden) attempt(() => load(["rollouts"]));
  else render();
}, 3000);
