// Dialogs: start a rollout, abort one, show a device, show a fresh token.

import { ago, h, milliseconds } from "./dom.js";

const dialog = document.getElementById("dialog");

function open(title, ...content) {
  dialog.replaceChildren(h("h2", { id: "dialog-title" }, title), ...content);
  if (!dialog.open) dialog.showModal();
}

const cancel = (label = "Cancel") => h("button", { type: "button", onclick: () => dialog.close() }, label);

function form(onsubmit, ...content) {
  const element = h("form", { method: "dialog" }, ...content);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    dialog.close();
    onsubmit(new FormData(element));
  });
  return element;
}

const field = (label, hint, name, attributes) => h("label", {}, label, h("input", { name, ...attributes }), hint && h("small", {}, hint));

export function askRollout(state, release, start) {
  if (!state.releases.length) {
    open("Start a rollout", h("p", {}, "Nothing is published yet: ", h("code", {}, "edgewright fleet publish BUNDLE")), h("div", { class: "foot" }, cancel("Close")));
    return;
  }
  const releases = state.releases.map((each) => {
    const name = `${each.model}@${each.version}`;
    return h("option", { value: name, selected: each === release }, name);
  });
  const groups = ["all", ...Object.keys(state.groups)].map((name) => h("option", { value: name }, name));
  const submit = (data) => {
    const [model, version] = data.get("release").split("@");
    const canary = Number(data.get("canary"));
    const middle = data.get("phases").split(/[ ,;%]+/).filter(Boolean).map(Number).filter((percent) => percent > 0 && percent < 100);
    start({
      model, version, group: data.get("group"),
      phases: [...(canary ? [{ count: canary }] : []), ...middle.map((percent) => ({ percent })), { percent: 100 }],
      policy: {
        transport: data.get("transport"),
        on_failure: data.get("on_failure"),
        probation: {
          duration_s: Number(data.get("probation")), min_requests: Number(data.get("requests")),
          max_error_rate: Number(data.get("errors")) / 100, max_latency_ratio: Number(data.get("latency")),
        },
      },
      change_ticket: data.get("ticket") || null,
    });
  };
  open("Start a rollout", form(submit,
    h("div", { class: "fields" },
      h("label", {}, "Release", h("select", { name: "release" }, releases)),
      h("label", {}, "Group", h("select", { name: "group" }, groups)),
      field("Canary devices", "0: no canary", "canary", { type: "number", min: 0, value: 1, required: true }),
      field("Then, percent", "such as 10, 50; 100 is added", "phases", { value: "50", pattern: "[0-9., ;%]*" }),
      field("Probation, seconds", "on each device", "probation", { type: "number", min: 1, step: "any", value: 60, required: true }),
      field("Live requests, at least", null, "requests", { type: "number", min: 0, value: 20, required: true }),
      field("Errors, at most %", null, "errors", { type: "number", min: 0, max: 100, step: "any", value: 1, required: true }),
      field("Latency, at most times", "against the release before", "latency", { type: "number", min: 1, step: "any", value: 2, required: true }),
      h("label", {}, "If it halts", h("select", { name: "on_failure" },
        h("option", { value: "restore" }, "restore unfinished devices"), h("option", { value: "rollback" }, "take every device back"))),
      h("label", {}, "Files come by", h("select", { name: "transport" }, h("option", { value: "https" }, "HTTPS"), h("option", { value: "mqtt" }, "MQTT"))),
      field("Change ticket", "for the audit log", "ticket", { maxlength: 100 })),
    h("div", { class: "foot" }, cancel(), h("button", { class: "primary", type: "submit" }, "Start"))));
}

export function askAbort(rollout, abort) {
  open(`Abort ${rollout.id}?`, form((data) => abort({ rollback: data.has("rollback") }),
    h("p", {}, "It ends for good. Devices that did not commit get their previous release back."),
    h("label", { class: "check" }, h("input", { type: "checkbox", name: "rollback" }), "Also take back the devices that committed"),
    h("div", { class: "foot" }, cancel("Keep going"), h("button", { class: "danger", type: "submit" }, "Abort"))));
}

export function showDevice(device, revoke) {
  const lines = [
    ["Profile", device.profile], ["Hardware", device.hardware_id], ["Runs", device.targets.join(", ")],
    ["Serves", device.active && `${device.active.model}@${device.active.version} ${device.active.variant}`],
    ["Assigned", device.assigned?.version && `${device.assigned.model}@${device.assigned.version} ${device.assigned.variant} (no. ${device.assigned.number})`],
    ["State", device.state], ["Last reason", device.reason],
    ["Requests", device.figures && `${device.figures.requests} (${device.figures.errors} failed)`],
    ["Latency", device.figures && `p50 ${milliseconds(device.figures.latency_ms_p50)}, p99 ${milliseconds(device.figures.latency_ms_p99)}`],
    ["Temperature", device.temperature_c && `${device.temperature_c.toFixed(1)} °C`],
    ["Enrolled", ago(device.enrolled)], ["Seen", ago(device.last_seen)], ["Runtime", device.agent],
  ];
  const sure = h("button", { class: "danger", type: "button" }, "Revoke");
  sure.addEventListener("click", () => {
    if (sure.textContent === "Revoke") {
      sure.textContent = "Revoke for ever?";
      return;
    }
    dialog.close();
    revoke();
  });
  open(device.id,
    h("dl", {}, lines.filter(([, value]) => value).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    h("div", { class: "foot" }, !device.revoked && sure, cancel("Close")));
}

export function showToken(reply) {
  open("Enrol a device",
    h("p", {}, "Run this on the device within 24 hours. The token enrols one device and is shown only now."),
    h("pre", { tabindex: 0 }, `edgewright runtime enroll --state /var/lib/edgewright --name NAME --token ${reply.token}`),
    h("div", { class: "foot" }, cancel("Close")));
}
