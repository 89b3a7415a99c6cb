//! The only user of DataFusion: sessions, stages, the table function that wraps the model.
