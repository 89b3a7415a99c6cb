//! What people read: tables, JSON, CSV.
