//! Touches and resources as single 64-bit numbers: columns of them are compared, grouped and sorted like any integers.
//!
//! A resource is `id << 4 | kind`, a touch is `resource << 2 | access`. Ids are less than 2^56 ([`Touch`]), so nothing is lost.

use crate::model::{Access, Resource, Touch};

/// The number of a resource.
pub const fn resource(kind: Resource, id: i64) -> i64 {
    id << 4 | kind as i64
}

/// The number of a touch.
pub const fn number(touch: Touch) -> i64 {
    resource(touch.kind, touch.id) << 2 | touch.access as i64
}

/// The number of the resource that a touch is about.
pub const fn resource_of(touch: i64) -> i64 {
    touch >> 2
}

/// The number of the access of a touch: its place in [`Access::ALL`].
pub const fn access_of(touch: i64) -> i64 {
    touch & 3
}

/// The number of the kind of a resource: its place in [`Resource::ALL`].
pub const fn kind_of(resource: i64) -> i64 {
    resource & 0xF
}

/// The id of a resource.
pub const fn id_of(resource: i64) -> i64 {
    resource >> 4
}

/// The touch of a tenant's own resource: of several tenants no two have one id.
pub const fn of_tenant(touch: i64, tenant: i64, tenants: i64) -> i64 {
    const BELOW: i64 = (1 << 6) - 1;
    ((touch >> 6).wrapping_mul(tenants).wrapping_add(tenant)) << 6 | touch & BELOW
}

/// Do two touches of one resource commute?
pub fn commute(one: i64, other: i64) -> bool {
    access_of(one) == access_of(other) && access_of(one) < Access::Write as i64
}

const _: () = assert!(Resource::ALL.len() <= 16 && Access::ALL.len() <= 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_found_again() {
        for kind in Resource::ALL {
            for access in Access::ALL {
                for id in [0, 1, (1 << 56) - 1] {
                    let touch = number(Touch { kind: *kind, id, access: *access });
                    let found = resource_of(touch);
                    assert_eq!((kind_of(found), id_of(found), access_of(touch)), (*kind as i64, id, *access as i64));
                    for other in Access::ALL {
                        let both = commute(touch, number(Touch { kind: *kind, id, access: *other }));
                        assert_eq!(both, access.commutes(*other), "{access:?} {other:?}");
                    }
                }
            }
        }
    }
}
