-- What the capture missed. Without rows nothing is known to be lost.
--
-- @title Losses
-- @part what
-- @plot table
-- @needs losses
-- @from losses kind
-- @column missed BIGINT how much of it
SELECT kind, CAST(sum("count") AS BIGINT) AS missed
FROM losses
GROUP BY kind
ORDER BY missed DESC, kind
