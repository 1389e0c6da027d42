//! shoal-disk
