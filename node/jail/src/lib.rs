//! shoal-jail
