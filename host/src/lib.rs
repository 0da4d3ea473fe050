//! wxc
