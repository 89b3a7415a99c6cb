-- A path has a part of more than 255 bytes, or more than 4095 bytes in all: no file can have it.
--
-- @title Name that no file can have
-- @severity error
-- @advice Set a shorter path; --scale puts /tenant-N before it.
-- @source path_resolution(7), ENAMETOOLONG
-- @needs ops fileset
-- @from measures subject evidence
SELECT substr(path, 1, 80) AS subject, concat(octet_length(path), ' bytes, ', what) AS evidence
FROM (
    SELECT raw AS path, concat('of op ', op_id) AS what, op_id FROM ops WHERE errno = 0
    UNION ALL
    SELECT raw2 AS path, concat('of op ', op_id) AS what, op_id FROM ops WHERE errno = 0
    UNION ALL
    SELECT path, 'in the fileset' AS what, -1 AS op_id FROM fileset WHERE kind <> 'absent'
)
-- Bytes that are no text take four in this form (docs/FORMAT.md).
WHERE path NOT LIKE '%\x%' AND (octet_length(path) > 4095 OR path ~ '[^/]{256}' AND octet_length(path) = length(path))
ORDER BY op_id
