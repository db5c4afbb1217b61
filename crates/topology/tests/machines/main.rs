//! Tests of whole machines: made by code, captured, and the one at hand.

mod captured;
mod common;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod live;
mod synthetic;
