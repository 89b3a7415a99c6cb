-- Why the time of the run cannot be believed to be that of the program on this device, and what keeps the run from being good
-- enough. docs/SCHEMA.md says what the words mean.
--
-- @title Caveats and flaws
-- @part fidelity
-- @plot table
-- @needs manifests results
-- @column what VARCHAR caveat of the time, or flaw of the run
-- @column word VARCHAR which
SELECT CASE WHEN key LIKE 'summary.flaws.%' THEN 'flaw' ELSE 'caveat' END AS what, value AS word
FROM manifests
WHERE kind = 'run' AND (key LIKE 'summary.time.caveats.%' OR key LIKE 'summary.flaws.%')
ORDER BY what, key
LIMIT 40
