//! Runs between clone and exec.
#![no_std]
