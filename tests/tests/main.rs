//! All tests that run the program, by what they show. `layers` keeps this list whole.

#![forbid(unsafe_code)]

mod ask;
mod attach;
mod boot;
mod busybox;
mod cli;
mod conformance;
mod copy;
mod crash;
mod debian;
mod doctor;
mod download;
mod ephemeral;
mod foreign;
mod harness;
mod hooks;
mod hostile;
mod images;
mod inside;
mod journal;
mod layers;
mod life;
mod limits;
mod network;
mod oci;
mod plugin_life;
mod plugins;
mod replay;
mod rootless;
mod shelf;
mod snapshot;
mod snapshot_running;
mod steps;
mod storage_btrfs;
mod storage_loop;
mod storage_overlay;
mod streams;
mod suites;
mod syncs;
mod torture;
mod transfer;
mod trees;
mod vouch;
