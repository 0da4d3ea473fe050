#![forbid(unsafe_code)]
//! Carries a [`Plan`](crate::plan::Plan) out: the monitor, its child, and everything that talks to
//! them.
//!
//! Nothing here decides anything; what a start does is written in the plan.
