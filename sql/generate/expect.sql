-- The end state that the model predicts for a replay of every event.
--
-- With `--where` the replay does less than was captured: then nothing is predicted.
--
-- @needs chosen
-- @column path VARCHAR absolute path
-- @column kind VARCHAR file, dir, link, fifo, socket or absent
-- @column size BIGINT size of a regular file, when the model knows it, bytes
-- @column target VARCHAR content of a symlink
SELECT at_path AS path, kind, size, target
FROM chosen
WHERE tag = 'expect'
ORDER BY pos
