// One function for each view: takes what the API gave, gives elements.

import { ago, chip, h, milliseconds, share, size, table } from "./dom.js";

const STEPS = ["metadata", "download", "stage", "preflight", "switch", "probation", "commit"];
const ROLLOUT_KIND = { running: "busy", paused: "warn", halted: "bad", complete: "good", aborted: "warn" };
const OUTCOME_KIND = {
  committed: "good", in_progress: "busy", refused: "bad", rolled_back: "bad", failed: "bad", timed_out: "bad", offline: "warn",
};
const STATE_KIND = { idle: "", commit: "good", rollback: "bad", failed: "bad" };
const words = (text) => text.replaceAll("_", " ");

export function devices(state, { showDevice }) {
  if (!state.devices.length) return empty("No devices yet. Enrol one: the button above makes a token and shows the command.");
  const columns = [
    { name: "Device" }, { name: "Online" }, { name: "Profile" }, { name: "Serves" }, { name: "Update" },
    { name: "Requests", num: true }, { name: "p50", num: true }, { name: "Last reason" }, { name: "Seen" },
  ];
  return table("Devices", columns, state.devices.map((device) => ({
    class: device.revoked && "gone",
    cells: [
      h("button", { class: "link nowrap", type: "button", onclick: () => showDevice(device) }, device.id),
      device.revoked ? h("span", { class: "dot bad" }, "revoked")
        : h("span", { class: `dot ${device.online ? "good" : ""}` }, device.online ? "online" : "offline"),
      h("span", { class: "nowrap" }, device.profile),
      device.active ? h("span", {}, h("b", {}, `${device.active.model}@${device.active.version}`), " ", h("span", { class: "quiet nowrap" }, device.active.variant)) : h("span", { class: "quiet" }, "nothing yet"),
      device.state ? chip(device.state, STATE_KIND[device.state] ?? "busy") : "",
      device.figures ? device.figures.requests.toLocaleString() + (device.figures.errors ? ` (${device.figures.errors} failed)` : "") : "",
      milliseconds(device.figures?.latency_ms_p50),
      device.reason ? h("div", { class: "reason" }, device.reason) : "",
      ago(device.last_seen),
    ],
  })));
}

export function releases(state, { startRollout }) {
  if (!state.releases.length) return empty(h("span", {}, "Nothing is published yet: ", h("code", {}, "edgewright fleet publish BUNDLE")));
  const columns = [
    { name: "Release" }, { name: "Variant" }, { name: "Accuracy", num: true }, { name: "Float", num: true },
    { name: "SNR", num: true }, { name: "Size", num: true }, { name: "On devices", num: true }, { name: "Published" }, { name: "" },
  ];
  const rows = state.releases.flatMap((release) => release.variants.map((variant, index) => ({
    class: index > 0 && "more",
    cells: [
      index ? "" : h("b", {}, `${release.model}@${release.version}`),
      variant.id, share(variant.quality.accuracy), share(variant.quality.accuracy_float),
      variant.quality.snr_db === null ? "" : `${variant.quality.snr_db.toFixed(1)} dB`, size(variant.size_bytes),
      String(state.devices.filter((device) => !device.revoked && device.active?.manifest === variant.manifest).length),
      index ? "" : h("span", {}, ago(release.published), h("span", { class: "quiet" }, ` by ${release.published_by}`)),
      index ? "" : h("button", { type: "button", onclick: () => startRollout(release) }, "Roll out"),
    ],
  })));
  return table("Releases", columns, rows);
}

export function rollout(state, actions) {
  const open = state.rollouts.filter((status) => ["planned", "running", "paused"].includes(status.rollout.state));
  const shown = open.length ? open : state.rollouts.slice(0, 1);
  if (!shown.length) return empty("No rollout yet. Start one when a release is published and a device is enrolled.");
  return h("div", { class: "body" }, shown.map((status) => oneRollout(status, actions)));
}

export function rollouts(state, actions) {
  if (!state.rollouts.length) return empty("No rollout yet.");
  return h("div", { class: "body" }, state.rollouts.map((status) => oneRollout(status, actions)));
}

function oneRollout(status, { move }) {
  const { rollout, devices } = status;
  const kind = ROLLOUT_KIND[rollout.state] ?? "";
  const button = (verb, label, style) => h("button", { type: "button", class: style, onclick: () => move(rollout, verb) }, label);
  return h("article", { class: "rollout", "aria-label": `Rollout ${rollout.id}` },
    h("div", { class: "top" },
      h("div", { class: "what" },
        h("h3", {}, `${rollout.model}@${rollout.version} `, h("span", { class: "quiet" }, `to ${rollout.group}`)),
        h("p", { class: "quiet" }, h("span", { class: "mono" }, rollout.id), ` · by ${rollout.created_by} `, ago(rollout.created_at),
          rollout.policy.transport === "mqtt" ? " · over MQTT" : "")),
      chip(rollout.state, kind),
      rollout.state === "running" && button("pause", "Pause"),
      rollout.state === "paused" && button("resume", "Resume", "primary"),
      ["running", "paused"].includes(rollout.state) && button("abort", "Abort", "danger")),
    phases(status),
    rollout.reason && h("p", { class: `notice ${kind}`, role: "status" }, rollout.reason),
    h("ul", { class: "lanes", "aria-label": "Devices" }, devices.map(lane)));
}

function phases(status) {
  const { rollout, devices, phase_sizes: sizes } = status;
  const eligible = devices.filter((device) => device.position >= 0);
  return h("div", { class: "phases" }, rollout.phases.map((phase, index) => {
    const from = index ? sizes[index - 1] : 0;
    const mine = eligible.slice(from, sizes[index]);
    const count = (...outcomes) => mine.filter((device) => outcomes.includes(device.outcome)).length;
    const fill = (kind, number) => number > 0 && h("div", { class: `fill ${kind}`, width: `${(number / mine.length) * 100}%` });
    const name = phase.count ? (index ? `${phase.count} devices` : `canary: ${phase.count}`) : `${phase.percent} %`;
    const now = index === rollout.phase && ["running", "paused"].includes(rollout.state);
    const done = count("committed");
    return h("div", { class: `phase ${now ? "now" : ""}`, grow: String(Math.max(1, mine.length)) },
      h("div", { class: "track", role: "img", "aria-label": `${name}: ${done} of ${mine.length} committed` },
        fill("good", done), fill("busy", count("in_progress", "offline")),
        fill("bad", count("refused", "rolled_back", "failed", "timed_out"))),
      h("p", {}, name, mine.length ? ` · ${done} of ${mine.length}` : ""));
  }));
}

function lane(device) {
  const kind = OUTCOME_KIND[device.outcome] ?? "";
  const at = device.outcome === "committed" ? STEPS.length : STEPS.indexOf(failedAt(device));
  const steps = STEPS.map((step, index) => {
    const state = index < at ? "good" : index === at ? { bad: "bad", busy: "busy", warn: "busy" }[kind] ?? "" : "";
    return h("li", { class: state, "aria-current": index === at && "step", title: step }, step);
  });
  return h("li", { class: "lane" },
    h("div", { class: "who" }, device.device, h("small", {}, device.stratum)),
    h("ol", { class: "steps", "aria-label": `Steps of ${device.device}` }, steps),
    h("div", { class: "end" }, chip(words(device.outcome), kind),
      device.restore !== "none" && h("small", { class: "quiet" }, ` previous release ${words(device.restore)}`)),
    device.reason && h("p", { class: `why ${kind === "bad" ? "bad" : ""}` }, device.reason));
}

function failedAt(device) {
  if (device.outcome === "refused") return "preflight";
  if (device.outcome === "rolled_back") return "probation";
  return device.step ?? (device.outcome === "in_progress" ? "metadata" : "");
}

export function groups(state) {
  const rows = Object.entries(state.groups).map(([name, members]) => ({ cells: [h("b", {}, name), members.join(", ") || "none"] }));
  if (!rows.length) return empty(h("span", {}, "No groups yet; ", h("code", {}, "all"), " is every device. ", h("code", {}, "edgewright fleet groups create NAME DEVICE...")));
  return table("Groups", [{ name: "Group" }, { name: "Devices" }], rows);
}

export function audit(state, _actions, full) {
  const columns = [{ name: "No.", num: true }, { name: "When" }, { name: "Who" }, { name: "Operation" }, { name: "Outcome" }, { name: "What" }, { name: "Detail" }];
  const entries = full ? state.audit : state.audit.filter((entry) => entry.phase === "after").slice(0, 8);
  if (!entries.length) return empty("Nothing has happened yet.");
  const kinds = { started: "", done: "good", failed: "bad" };
  return table("Audit log", columns, entries.map((entry) => ({
    cells: [
      String(entry.sequence), ago(entry.timestamp), h("span", { class: "nowrap" }, entry.user), h("span", { class: "mono" }, entry.operation),
      chip(entry.outcome, kinds[entry.outcome]), h("div", { class: "reason" }, entry.resources.slice(0, 4).join(", ") + (entry.resources.length > 4 ? ", …" : "")),
      h("div", { class: "reason" }, entry.error ?? entry.detail ?? (entry.change_ticket ? `ticket ${entry.change_ticket}` : "")),
    ],
  })));
}

function empty(...content) {
  return h("p", { class: "empty" }, ...content);
}
