-- What the datasets say of where and how they were made.
--
-- @title Datasets and machines
-- @part what
-- @plot table
-- @needs manifests
-- @column dataset VARCHAR directory of the dataset
-- @column fact VARCHAR what is said
-- @column value VARCHAR as its manifest has it; times with their unit
WITH known AS (
    SELECT * FROM (VALUES
        (1, 'host', 'host', ''), (2, 'source', 'captured by', ''), (3, 'clock', 'clock', ''), (4, 'events', 'events', ''),
        (5, 'ops', 'ops', ''), (6, 'lanes', 'threads with ops', ''), (7, 'fileset_bytes', 'bytes in files of the tree', ''),
        (8, 'fingerprint', 'fingerprint', ''), (9, 'machine.host', 'host', ''), (10, 'machine.cpu', 'processor', ''),
        (11, 'machine.cpus', 'processors', ''), (12, 'machine.memory', 'bytes of memory', ''), (13, 'machine.kernel', 'kernel', ''),
        (14, 'machine.targets.0.file_system', 'file system', ''), (15, 'machine.targets.0.mount_options', 'mount options', ''),
        (16, 'machine.targets.0.devices.0.name', 'device', ''), (17, 'machine.targets.0.devices.0.scheduler', 'scheduler', ''),
        (18, 'summary.order', 'order', ''), (19, 'summary.pace', 'pace', ''), (20, 'summary.engine', 'engine', ''),
        (21, 'summary.workers', 'workers', ''), (22, 'summary.wall', 'time of the run', 'ns'),
        (23, 'summary.ops', 'captured calls issued', ''), (24, 'summary.match_percent', 'match, percent', ''),
        (25, 'summary.coverage_percent', 'coverage of calls, percent', ''), (26, 'ioriot', 'version of ioriot', '')
    ) AS t(number, name, fact, unit)
)
SELECT
    manifests.dataset,
    known.fact,
    CASE
        WHEN unit = 'ns' AND regexp_like(value, '^[0-9]{1,18}$') THEN concat(CAST(CAST(value AS BIGINT) / 1e9 AS VARCHAR), ' s')
        ELSE value
    END AS value
FROM known
JOIN manifests ON manifests.key = known.name
ORDER BY manifests.dataset, known.number
