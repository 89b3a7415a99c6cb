-- Calls of which nobody knows what they return, since --set changed them or what they depend on: a replay compares only that they
-- succeed.
--
-- @title Outcomes that are not compared
-- @severity note
-- @advice Nothing: the summary of a replay counts them as uncompared (changed).
-- @source docs/WHATIF.md
-- @needs ops
-- @from measures subject evidence
SELECT op AS subject, concat(count(changed), ' of ', count(*), ' calls') AS evidence
FROM ops
WHERE origin = 'event'
GROUP BY op
HAVING count(changed) > 0
ORDER BY count(changed) DESC, op
