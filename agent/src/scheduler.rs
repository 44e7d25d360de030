//! Which task runs when: dependencies, resources, the queue of each job and of each actor; and who goes when memory runs out. Pure.

pub mod actor;
pub mod actors;
pub mod calls;
pub mod devices;
pub mod learned;
pub mod lineage;
pub mod names;
pub mod pressure;
pub mod queue;
pub mod resources;
pub mod retry;
pub mod shape;
pub mod table;
pub mod task;
pub mod victims;
pub mod window;
