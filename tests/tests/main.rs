//! All tests that run the program, by what they show. `layers` keeps this list whole.

#![forbid(unsafe_code)]

mod harness;
mod layers;
