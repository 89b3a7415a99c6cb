-- The end state that the model predicts for a replay of every event.
--
-- With `--where` the replay does less than was captured: then nothing is predicted.
--
-- @needs chosen
-- @from expect
SELECT at_path AS path, kind, size, target
FROM chosen
WHERE tag = 'expect'
ORDER BY pos
