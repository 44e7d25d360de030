//! Which task runs when: dependencies, resources, the queue of each job and of each actor. Pure.

pub mod actor;
pub mod calls;
pub mod devices;
pub mod lineage;
pub mod queue;
pub mod resources;
pub mod retry;
pub mod shape;
pub mod task;
