-- wrk script: each request is for a user drawn at random. Arguments: prefix of the user ids, how many users, and what
-- stands in front of the user id.
local requests = {}

function init(args)
  math.randomseed(20)
  for number = 0, tonumber(args[2]) - 1 do
    requests[number] = wrk.format("GET", args[3] .. args[1] .. number)
  end
end

function request()
  return requests[math.random(0, #requests)]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '{"answers": %d, "microseconds": %d, "failed": %d, "p50": %d, "p99": %d, "p999": %d, "slowest": %d}\n',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
