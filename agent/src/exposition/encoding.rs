//! The engine: label sets and the text format.

pub(super) mod containers;
pub(super) mod seen;
pub mod text;
