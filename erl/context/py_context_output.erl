%% SPDX-License-Identifier: Apache-2.0
%% @doc What a context's helpers print where it goes to the log: lines, and the
%% answers to requests for backtraces among them.
-module(py_context_output).

-export([came/3, add/5, log/3, flush/1]).

-include("py_context_data.hrl").

%% @doc The helper that serves has printed something.
-spec came(py_output:stream(), binary(), #data{}) -> #data{}.
came(Stream, Bytes, #data{output = Output, os_pid = OsPid} = Data) ->
    {Plain, Unasked, Asked} = py_backtrace:feed(Stream, Bytes, Data#data.backtrace),
    ok = py_grants:enforce(Data#data.port, byte_size(Plain) + Unasked),
    Data#data{output = add(Stream, Plain, Output, OsPid, Data), backtrace = Asked}.

%% @doc Some helper has: log what became whole lines, keep the rest.
-spec add(py_output:stream(), binary(), py_output:t(), term(), #data{}) -> py_output:t().
add(Stream, Bytes, Output, OsPid, Data) ->
    {Lines, Rest} = py_output:add(Stream, Bytes, Output),
    log([{Stream, Line} || Line <- Lines], OsPid, Data),
    Rest.

%% @doc Log these lines.
-spec log([{py_output:stream(), binary()}], term(), #data{}) -> ok.
log(_, _, #data{opts = #{log_output := false}}) ->
    ok;
log(Lines, OsPid, #data{id = Id, label = Label}) ->
    py_context_log:lines(Label, Lines, #{context => Id, os_pid => OsPid}).

%% @doc The helper that served prints no more.
-spec flush(#data{}) -> ok.
flush(#data{output = Output, os_pid = OsPid} = Data) ->
    log(py_output:flush(Output), OsPid, Data).
