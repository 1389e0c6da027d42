//! peerwire
