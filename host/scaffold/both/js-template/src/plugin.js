// A template: a small system of one static program. The functions stand in wit/deps/template/template.wit.
import { all } from "./files.js";

// The parameter for the program. [inputs.program] of plugin.toml says where it is when the user says nothing.
const PROGRAM = "program";
const GREETING = "greeting";

export const template = {
  options() {
    const common = { required: false, repeatable: false };
    const program = "A busybox that needs no libraries; this machine's unless told";
    return [
      { name: PROGRAM, kind: { tag: "file" }, doc: program, default: null, ...common },
      { name: GREETING, kind: { tag: "text" }, doc: "What /etc/motd says", default: "Welcome", ...common },
    ];
  },

  // There is one system, and no catalogue to search.
  search(_request, _limit) {
    return [];
  },

  resolve(request) {
    if (!answers(request).has(PROGRAM)) {
      const message =
        "this machine has no busybox: install one that needs no libraries (Debian: busybox-static), or say with --program where it is";
      throw { kind: "invalid", message };
    }
    return {
      product: "@WORD@",
      serial: "",
      architecture: request.architecture,
      expires: null,
      signer: null,
      assembly: { tag: "empty" },
    };
  },

  finish(_moment, request, _manifest, _members) {
    return {
      // What busybox's init understands as "halt" and "reboot". Only settings of the host's list are taken.
      settings: [
        { name: "stop.halt", value: '"SIGUSR1"' },
        { name: "stop.reboot", value: '"SIGTERM"' },
      ],
      files: all(request.container, answers(request).get(GREETING) ?? "", PROGRAM),
      again: [],
      message: null,
      expires: null,
    };
  },
};

function answers(request) {
  return new Map(request.answers.map(({ name, value }) => [name, value]));
}
