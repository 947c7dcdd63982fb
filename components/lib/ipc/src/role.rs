//! The three roles and the groups that stand for them.

use std::fmt;

use serde::Deserialize;

/// What a person may do; each role includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Acts: seals and opens files, updates, renews, reboots.
    Operator,
    /// Changes policy.
    Admin,
}

impl Role {
    const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The group whose members have this role.
    pub fn group(self) -> &'static str {
        match self {
            Self::Viewer => "holdfast-viewer",
            Self::Operator => "holdfast-operator",
            Self::Admin => "holdfast-admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        })
    }
}

/// Ids of the three groups on this system; a group that does not exist gives nobody its role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleGroups {
    /// Id of `holdfast-viewer`.
    pub viewer: Option<u32>,
    /// Id of `holdfast-operator`.
    pub operator: Option<u32>,
    /// Id of `holdfast-admin`.
    pub admin: Option<u32>,
}

impl RoleGroups {
    /// Finds the groups in the text of `/etc/group` (group(5)). The first line of a name counts,
    /// as it does for the C library; lines that are not of that form are passed over.
    pub fn from_group_file(text: &str) -> Self {
        let id = |role: Role| {
            text.lines().find_map(|line| {
                let mut fields = line.split(':');
                (fields.next() == Some(role.group())).then(|| fields.nth(1)?.parse().ok())
            })?
        };
        Self { viewer: id(Role::Viewer), operator: id(Role::Operator), admin: id(Role::Admin) }
    }

    /// The highest role of a process with this user id and these group ids; root is an admin.
    /// The group 0 never gives a role, whatever the group file says.
    pub fn role_of(&self, uid: u32, gids: &[u32]) -> Option<Role> {
        if uid == 0 {
            return Some(Role::Admin);
        }
        Role::ALL
            .into_iter()
            .rev()
            .find(|role| self.id(*role).is_some_and(|id| id != 0 && gids.contains(&id)))
    }

    fn id(&self, role: Role) -> Option<u32> {
        match role {
            Role::Viewer => self.viewer,
            Role::Operator => self.operator,
            Role::Admin => self.admin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "root:x:0:\nholdfast-viewer:x:901:alice,bob\nholdfast-operator:x:902:\n\
                         holdfast-admin:x:903:bob\nholdfast-admin:x:1000:\n";

    #[test]
    fn highest_role_of_a_process() {
        let groups = RoleGroups::from_group_file(GROUP);
        assert_eq!(groups, RoleGroups { viewer: Some(901), operator: Some(902), admin: Some(903) });
        let table: &[(u32, &[u32], Option<Role>)] = &[
            (0, &[], Some(Role::Admin)),
            (1000, &[], None),
            (1000, &[1000], None),
            (1000, &[901], Some(Role::Viewer)),
            (1000, &[901, 902], Some(Role::Operator)),
            (1000, &[903], Some(Role::Admin)),
            (1000, &[903, 901], Some(Role::Admin)),
            (901, &[100], None),
        ];
        for (uid, gids, role) in table {
            assert_eq!(groups.role_of(*uid, gids), *role, "uid {uid} gids {gids:?}");
        }
    }

    #[test]
    fn missing_groups_give_nobody_a_role() {
        for text in ["", "holdfast-admin", "holdfast-admin:x", "holdfast-admin:x:many:", "#\n\n"] {
            let groups = RoleGroups::from_group_file(text);
            assert_eq!(groups, RoleGroups::default(), "{text:?}");
            assert_eq!(groups.role_of(1000, &[0, 1, 903]), None);
        }
        let zero = RoleGroups::from_group_file("holdfast-admin:x:0:");
        assert_eq!(zero.role_of(1000, &[0]), None);
    }

    #[test]
    fn roles_include_the_ones_before() {
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    }
}
