-- What wrk sends, and one line of numbers for bench.py. Arguments after `--`: method, pattern of the path with one %d, first
-- number, last number, order, body. Without them every request is the one of the command line.
--   order "random": any number of the range; "once": one after the other, and after the last one nothing but errors.

local method, pattern, first, last, order, body, at

function init(arguments)
    method, pattern, first, last, order, body = unpack(arguments)
    if method and not pattern then
        wrk.method = method
    end
    first, last = tonumber(first), tonumber(last)
    at = first
    math.randomseed(os.time())
    if pattern then
        request = function()
            local number
            if order == "random" then
                number = math.random(first, last)
            else
                number = at
                at = at + 1
            end
            return wrk.format(method, string.format(pattern, number), nil, body)
        end
    end
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format("bench %d %d %d %d %d %d\n", summary.requests, summary.duration, latency:percentile(50),
        latency:percentile(99), errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
