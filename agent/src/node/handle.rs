//! How other threads ask the node's thread: a question is a closure over the tables of one instant.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::node::news::News;
use crate::telemetry::tables::Tables;

/// A closure that the node's thread runs between two batches, after it has drained every ring.
pub type Question = Box<dyn FnOnce(&mut dyn Tables) + Send>;

/// Asks the node's thread. Cheap to clone.
#[derive(Clone)]
pub struct NodeHandle {
    send: Arc<dyn Fn(Question) + Send + Sync>,
    news: Arc<News>,
}

impl NodeHandle {
    /// A handle whose questions go through `send`, which wakes the node's thread.
    pub fn new(send: impl Fn(Question) + Send + Sync + 'static) -> Self {
        Self { send: Arc::new(send), news: Arc::default() }
    }

    /// The same, with the news that the node's thread tells.
    #[must_use]
    pub fn with_news(mut self, news: Arc<News>) -> Self {
        self.news = news;
        self
    }

    /// What the node's thread tells by itself.
    #[must_use]
    pub fn news(&self) -> &Arc<News> {
        &self.news
    }

    /// The answer, or `None` when the node has ended.
    pub async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&mut dyn Tables) -> T + Send + 'static) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        (self.send)(Box::new(move |tables| {
            // The asker may have gone; then nobody wants the answer.
            let _ = sender.send(question(tables));
        }));
        receiver.await.ok()
    }
}
