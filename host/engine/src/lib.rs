//! shared engine configuration
