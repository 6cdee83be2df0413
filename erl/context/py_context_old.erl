%% SPDX-License-Identifier: Apache-2.0
%% @doc The ports of a context that do not serve: of helpers that have died, that
%% end what they have, or that are to be the next.  They stay for what is still
%% printed, and for callers that have not yet asked for their answer.
-module(py_context_old).

-export([add/4, take/2, message/3, close_later/1, linger/2, close/2, close_all/1]).

-include("py_context_data.hrl").

%% How long a failed port stays, for callers that submitted and have not yet
%% asked for their answer.
-define(LINGER_MS, 1000).

%% @doc Keep a port, with what its helper printed and is no whole line yet.
-spec add(port(), py_output:t(), term(), #data{}) -> #data{}.
add(Port, Output, OsPid, #data{old = Old} = Data) ->
    Data#data{old = Old#{Port => {Output, OsPid}}}.

%% @doc The port serves from now on.
-spec take(port(), #data{}) -> {py_output:t(), term(), #data{}}.
take(Port, #data{old = Old} = Data) ->
    {{Output, OsPid}, Left} = maps:take(Port, Old),
    {Output, OsPid, Data#data{old = Left}}.

%% @doc A message of such a port.
-spec message(port(), term(), #data{}) -> #data{}.
message(Port, {output, Stream, Bytes}, #data{old = Old} = Data) ->
    #{Port := {Output, OsPid}} = Old,
    ok = py_grants:enforce(Port, byte_size(Bytes)),
    Plain = py_backtrace:strip(Bytes),
    add(Port, py_context_output:add(Stream, Plain, Output, OsPid, Data), OsPid, Data);
message(Port, output_paused, Data) ->
    _ = py_port:more_output(Port),
    Data;
message(_, _, Data) ->
    Data.

%% @doc Let the port be closed after a while: then `{close_old, Port}' comes.
-spec close_later(port()) -> ok.
close_later(Port) ->
    _ = erlang:send_after(?LINGER_MS, self(), {close_old, Port}),
    ok.

%% @doc Close it, or stay as long as somebody may still ask it: a caller can be in
%% a function that its request called.
-spec linger(port(), #data{}) -> #data{}.
linger(Port, Data) ->
    case py_context_stats:counters(Port) of
        #{pending := N} when N > 0 ->
            ok = close_later(Port),
            Data;
        _ ->
            close(Port, Data)
    end.

%% @doc Close it now.
-spec close(port(), #data{}) -> #data{}.
close(Port, Data) ->
    {Output, OsPid, Left} = take(Port, Data),
    ok = py_context_output:log(py_output:flush(Output), OsPid, Data),
    ok = py_context_helper:close(Port),
    Left.

%% @doc Close them all.
-spec close_all(#data{}) -> #data{}.
close_all(#data{old = Old} = Data) ->
    lists:foldl(fun close/2, Data, maps:keys(Old)).
