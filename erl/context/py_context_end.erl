%% SPDX-License-Identifier: Apache-2.0
%% @doc The end of a context: its helper is asked to end, or killed, and heard to
%% the last word.
-module(py_context_end).

-export([finish/1, close/3]).

-include("../port/py_wire.hrl").
-include("py_context_data.hrl").

%% How long a helper that was killed may take.
-define(COLLECT_MS, 1000).
%% How long one with which the connection was ended may go on.
-define(HUNG_UP_MS, 20).
%% How long a helper that was stopped may leave its last output unread.
-define(LAST_WORDS_MS, 20).

%% @doc End the context, and with it its helper at once: what that has used, as far as
%% that is known.
-spec finish(pid()) -> map().
finish(Context) ->
    try
        gen_statem:call(Context, finish, infinity)
    catch
        exit:_ -> #{}
    end.

%% @doc The helper ends, and its port is closed, for this reason: what the zygote says of
%% its end, if it says something in time.
-spec close(atom(), term(), #data{}) -> map() | none.
close(ready, Reason,
      #data{port = Port, opts = #{single_use := true, log_output := false}} = Data) ->
    %% Nobody wants its last words, so nothing of it is looked at again.
    ok = let_go(Port, Reason),
    Exited = gone(Port, await_exit(py_request:deadline(?HUNG_UP_MS), Data)),
    ok = py_context_helper:close(Port),
    exited(Exited);
close(State, Reason, #data{port = Port} = Data) ->
    Exited = wind_up(State, Data),
    ok = let_go(Port, Reason),
    ok = py_context_helper:close(Port),
    Exited.

let_go(Port, Reason) ->
    ok = py_wait:abandon(Port),
    _ = py_port:fail(Port, {context_died, Reason}),
    ok.

%% Its connection has ended, and so does a helper that is honest and not busy: its zygote
%% looks into the end of one that was killed.
gone(Port, {timeout, Data}) ->
    _ = py_port:kill(Port),
    {Exited, _} = await_exit(py_request:deadline(?COLLECT_MS), Data),
    Exited;
gone(_, {Exited, _}) ->
    Exited.

exited(timeout) -> none;
exited(Exited) -> Exited.

wind_up(ready, #data{opts = #{single_use := true}} = Data) ->
    wind_up(killed, Data);
wind_up(ready, #data{port = Port} = Data) ->
    _ = py_port:notice(Port, ?FRAME_STOP, <<>>),
    Deadline = py_request:deadline(terrarium_config:get(stop_timeout)),
    case await_exit(Deadline, Data) of
        {timeout, Last} -> wind_up(killed, Last);
        {Exited, Last} -> last_words(Exited, Last)
    end;
wind_up(_, #data{port = Port} = Data) ->
    _ = py_port:kill(Port),
    {Exited, Last} = await_exit(py_request:deadline(?COLLECT_MS), Data),
    last_words(exited(Exited), Last).

await_exit(Deadline, #data{port = Port, ref = Ref} = Data) ->
    receive
        {py_helper, Ref, {exited, Exited}} -> {Exited, Data};
        {py_helper, Ref, zygote_down} -> {none, Data};
        {'DOWN', Ref, process, _, _} -> {none, Data};
        {Port, {output, Stream, Bytes}} ->
            await_exit(Deadline, py_context_output:came(Stream, Bytes, Data));
        {Port, output_paused} ->
            _ = py_port:more_output(Port),
            await_exit(Deadline, Data);
        {Port, {callback, Etf}} ->
            _ = spawn(py_callback, serve, [Port, self(), Etf]),
            await_exit(Deadline, Data)
    after py_request:left(Deadline) -> {timeout, Data}
    end.

%% What it wrote before it ended may still be on its way.
last_words(Exited, #data{opts = #{single_use := true, log_output := false}}) ->
    Exited;
last_words(Exited, #data{port = Port} = Data) ->
    receive
        {Port, {output, Stream, Bytes}} ->
            last_words(Exited, py_context_output:came(Stream, Bytes, Data))
    after ?LAST_WORDS_MS ->
        ok = py_context_output:flush(Data),
        Exited
    end.
