%% SPDX-License-Identifier: Apache-2.0
%% @doc Finds out when a helper that serves no more calls is not needed for its
%% objects either: streams and references live there and nowhere else.
%%
%% A process asks the helper how many there are, now and then, and tells the context
%% when there are none, or when the time is up.  It ends with the helper's port.
-module(py_retired).

-export([watch/3]).

-include("../port/py_wire.hrl").

%% How often it is asked.
-define(FIRST_MS, 20).
-define(MOST_MS, 1000).

%% @doc Send `{py_retired, Ref}' to the calling context when the helper whose row
%% this is has no more objects, after so many milliseconds at the latest.
-spec watch(reference(), py_registry:row(), non_neg_integer()) -> ok.
watch(Ref, {ready, Port, _, Limits, _}, Milliseconds) ->
    Context = self(),
    Deadline = py_request:deadline(Milliseconds),
    _ = spawn(fun() ->
                      ok = until_none(Port, Limits, Deadline, ?FIRST_MS),
                      Context ! {py_retired, Ref}
              end),
    ok.

until_none(Port, Limits, Deadline, Pause) ->
    Left = py_request:left(Deadline),
    case Left > 0 andalso has_objects(Port, Limits, Deadline) of
        true ->
            receive after min(Pause, Left) -> ok end,
            until_none(Port, Limits, Deadline, min(2 * Pause, ?MOST_MS));
        false ->
            ok
    end.

%% A request under way may answer with a reference.
has_objects(Port, Limits, Deadline) ->
    case py_request:request(Port, ?FRAME_INFO, 0, {}, Deadline, Limits) of
        {answer, ?FRAME_RESULT, Body} ->
            case {py_answer:value(Body), py_context_stats:counters(Port)} of
                {{ok, #{<<"refs">> := 0}}, #{pending := 0}} -> false;
                _ -> true
            end;
        {answer, ?FRAME_ERROR, _} ->
            true;
        _ ->
            false
    end.
