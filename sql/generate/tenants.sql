-- The rows of stage chosen for several tenants (`--scale`): each has its own processes, threads, open file descriptions and files.
--
-- The first tenant has the captured paths, every other one its own below /tenant-1, /tenant-2 ... Numbers are those of the capture times
-- the number of tenants, plus that of the tenant, so they stay dense. The order is that of the ends of calls, with what
-- `--scale-shift` puts between the tenants.
--
-- @needs single scaling
-- @order pos
-- @from ops seq syscall
-- @from events pid tid cpu offset {arguments} inflight path path2 name
-- @from ops changed
-- @from walk
WITH
timed AS (
    SELECT
        *,
        -- What stands before the first time is there when it begins.
        coalesce(
            max(ts + coalesce(dur, 0)) OVER (ORDER BY pos ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW),
            (SELECT min(ts) FROM single)
        ) AS moment
    FROM single
),
several AS (
    SELECT
        timed.*, tenant, tenants, delay, prefix,
        coalesce(op = 'getcwd' OR op IN ('readlink', 'readlinkat') AND starts_with(path2, '/'), false) AND tenant > 0 AS tells
    FROM scaling
    CROSS JOIN timed
    WHERE tenant = 0 OR tag IS DISTINCT FROM 'memory' AND tag IS DISTINCT FROM 'guess' AND tag IS DISTINCT FROM 'evidence'
    UNION ALL BY NAME
    -- The directories of the tenants.
    SELECT
        tenant, tenants, delay, prefix, false AS tells, -1 AS pos, CAST(-4000000000000000000 AS BIGINT) AS moment, tag, '/' AS at_path,
        'dir' AS kind, CASE WHEN tag = 'fileset' THEN 0 END AS size, CASE WHEN tag = 'fileset' THEN true END AS exact
    FROM scaling
    CROSS JOIN (VALUES ('fileset'), ('expect')) AS facts(tag)
    WHERE tenant > 0
)
SELECT
    seq, arrow_cast(syscall, 'Utf8View') AS syscall, pid * tenants + tenant AS pid, tid * tenants + tenant AS tid, cpu, offset, ts + delay AS ts, dur, fd, fd2, dirfd, dirfd2,
    offset2,
    -- What these return is a path, and so many bytes longer; from the root itself nothing but the prefix is told.
    CASE WHEN tells THEN count + length(prefix) ELSE count END AS count,
    CASE WHEN tells AND errno = 0 THEN ret + length(prefix) - CASE WHEN op = 'getcwd' AND path = '/' THEN 1 ELSE 0 END ELSE ret END AS ret,
    errno, flags, mode, whence, cmd, CASE WHEN syscall = 'waited' THEN arg * tenants + tenant ELSE arg END AS arg, uid, gid, iovcnt,
    resolve, atime, mtime, ring, behind, inflight, below(prefix, path) AS path, below(prefix, path2) AS path2, arrow_cast(name, 'Utf8View') AS name, changed,
    CAST(row_number() OVER (ORDER BY moment + delay, pos, tenant) AS BIGINT) AS pos,
    arrow_cast(tag, 'Dictionary(UInt8, Utf8)') AS tag, arrow_cast(origin, 'Dictionary(UInt8, Utf8)') AS origin, arrow_cast(fate, 'Dictionary(UInt8, Utf8)') AS fate,
    arrow_cast(reason, 'Dictionary(UInt8, Utf8)') AS reason, arrow_cast(op, 'Dictionary(UInt8, Utf8)') AS op, vpid * tenants + tenant AS vpid, vtid * tenants + tenant AS vtid, comm, exe, user_id,
    command_line, cgroup, rank, job, ofd * tenants + tenant AS ofd,
    direct, synced, append, ofd2 * tenants + tenant AS ofd2, dir * tenants + tenant AS dir, dir2 * tenants + tenant AS dir2,
    file * tenants + tenant AS file,
    file2 * tenants + tenant AS file2, below(prefix, at_path) AS at_path, below(prefix, at_path2) AS at_path2,
    below(prefix, cwd) AS cwd, at_offset, at_offset2, shared, shared2, on_file, arrow_cast(route, 'Utf8') AS route, bytes,
    arrow_cast(moves, 'Utf8') AS moves, arrow_cast(elsewhere, 'Dictionary(UInt8, Utf8)') AS elsewhere,
    of_tenant(touches, tenant, tenants) AS touches, arrow_cast(kind, 'Utf8View') AS kind, size, exact, perm, owner, grp, modified, below(prefix, target) AS target, arrow_cast(xattrs, 'Utf8View') AS xattrs
FROM several
ORDER BY pos
