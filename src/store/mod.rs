//! Object stores (`s3://`, `gs://`, `az://`) and web servers (`https://`, `http://`): datasets that are not in the local file system.
//!
//! The URL of a dataset stands where the path of a local one would, as a path; what opens datasets and tables asks [`is`] first.
//! A build without the cargo feature `s3` knows such names and says that it cannot read them.

#[cfg(not(feature = "s3"))]
mod absent;
#[cfg(feature = "s3")]
mod client;
#[cfg(feature = "s3")]
mod credentials;
#[cfg(feature = "s3")]
mod listing;
mod name;
#[cfg(feature = "s3")]
mod object;
#[cfg(feature = "s3")]
mod profile;
#[cfg(feature = "s3")]
mod put;
mod together;

#[cfg(not(feature = "s3"))]
use absent::expand;
#[cfg(not(feature = "s3"))]
pub use absent::{holds, hosts, know, manifest, ready};
#[cfg(feature = "s3")]
pub use client::{Version, of_url};
#[cfg(feature = "s3")]
use listing::expand;
#[cfg(feature = "s3")]
pub use listing::{holds, hosts, know, manifest};
pub use name::{is, place, places};
#[cfg(feature = "s3")]
pub use object::Object;
#[cfg(feature = "s3")]
pub use put::{Found, Put, abort, delete, find, get, put, put_file, ready};
pub use together::each;
