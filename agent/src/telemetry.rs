//! The live stream: windows over the node's tables, the door, and the WebSocket server.

pub mod tables;
