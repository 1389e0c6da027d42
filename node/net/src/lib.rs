//! Where this machine can be reached: its addresses, the ports that a router maps to it, and an
//! honest answer to who can open a link.

mod address;
mod mapping;
mod reach;
mod scope;

pub use address::{IfaceAddr, Route, local_addresses, primary_address};
pub use mapping::{
    MapConfig, MapError, MapRequest, MapStage, MappedBy, Mapping, Mappings, PortMapper, Protocol,
};
pub use reach::{Advertise, Reach, ReachInput, ReachReport, reach};
pub use scope::{Scope, scope};
