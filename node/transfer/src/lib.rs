//! shoal-transfer
