#![forbid(unsafe_code)]
//! Carries a [`Plan`](crate::plan::Plan) out: the monitor, its child, and everything that talks to
//! them.
//!
//! Nothing here decides anything; what a start does is written in the plan.

/// Users and groups of a container.
pub(crate) mod accounts;
/// A command in a running container.
pub mod attach;
/// Capabilities as bits of the kernel.
pub mod caps;
/// Control groups: limits, freezing, killing, statistics.
pub mod cgroup;
/// The command's side of the control socket.
pub mod client;
/// Plan -> the child's program.
mod compile;
/// The console of a running container.
mod console;
/// The words of the control socket.
pub mod control;
/// Rules on the use of devices.
pub mod devices;
/// What can go wrong.
pub mod error;
/// The loop of the monitor.
mod events;
/// A container in the foreground.
pub mod foreground;
/// Data for the next process, in sealed memory.
mod handover;
/// Another process of wxc, in a role.
mod helper;
/// Hooks that are due: called by a process of their own.
mod hooks;
/// The maps of a user namespace.
mod idmap;
/// The command's side of a start.
pub mod launch;
/// Packets with fds.
mod message;
/// The process that stays.
mod monitor;
/// Network devices, addresses and routes.
pub mod net;
/// Operations, their data, and what they are called.
mod program;
/// What a killed monitor left behind.
mod remains;
/// What else this program can be than a command.
pub mod roles;
/// The directory of a running container.
mod run_directory;
/// A system-call policy as a program for the kernel.
pub mod seccomp;
/// Connections to the monitor.
mod server;
/// Detached mounts that the monitor makes for the child.
mod sources;
/// The clone and the conversation with the child.
mod spawn;
/// States of a container.
pub mod state;
/// The caller's terminal.
pub mod terminal;

pub use attach::inside::{Inside, Program as InsideProgram};
pub use attach::{AttachRequest, Elevated, TerminalUse, attach, attach_with};
pub use client::Client;
pub use error::RuntimeError;
pub use launch::{Caller, LaunchOptions, Launched, Prepared, Stopped, launch, plan_handed_over, prepare};
pub use remains::{abandoned_cgroups, clean_up, is_abandoned};
pub use state::{Exit, State};
