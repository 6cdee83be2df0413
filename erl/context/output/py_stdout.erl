%% SPDX-License-Identifier: Apache-2.0
%% @doc What the Python code of a request prints.
%%
%% Python hands whole lines over by calling the service `{io, put}', which runs
%% in the process that made the request: there they go to its group leader, like
%% any output of that process, or, if the request asked for that, into its
%% result.  A group leader that is dead, or does not answer before the request's
%% time is up, does not fail the Python code.
-module(py_stdout).

-export([service_put/1]).
-export([capture/2, set_aside/0, take_up/1]).

-export_type([captured/0]).

-define(CAPTURE, '$py_capture').

-type captured() :: {stdout, binary(), stderr, binary()}.
%% What was printed, each cut at the limit.

-record(capture, {max :: pos_integer(),
                  stdout = {0, <<>>} :: {non_neg_integer(), binary()},
                  stderr = {0, <<>>} :: {non_neg_integer(), binary()}}).

%%% The service

%% @doc Python printed these bytes to its descriptor 1 or 2.
-spec service_put([term()]) -> true.
service_put([Fd, Bytes]) when is_binary(Bytes), (Fd =:= 1 orelse Fd =:= 2) ->
    Port = py_callback:port(),
    ok = py_grants:enforce(Port, byte_size(Bytes)),
    %% Who has printed too much is dead, and no more is done with it.
    _ = Bytes =:= <<>> orelse py_grants:is_over(Port) orelse put_out(get(?CAPTURE), Fd, Bytes),
    true.

put_out(undefined, _, Bytes) -> show(shown(Bytes), py_request:left(py_callback:deadline()));
put_out(Capture, Fd, Bytes) -> put(?CAPTURE, keep(Fd, Bytes, Capture)).

%% Strangers do not command the terminal that it may get to.
shown(Bytes) ->
    Text = text(Bytes),
    case py_grants:is_stranger(py_callback:port()) of
        true -> py_shown:text(Text);
        false -> Text
    end.

%% Bytes that are no UTF-8 are shown as replacement characters.
text(Bytes) ->
    case unicode:characters_to_binary(Bytes) of
        Text when is_binary(Text) -> Text;
        _ -> replaced(Bytes, <<>>)
    end.

%% Once through all of them: they may be as many as a stranger likes.
replaced(<<C/utf8, Rest/binary>>, Text) -> replaced(Rest, <<Text/binary, C/utf8>>);
replaced(<<_, Rest/binary>>, Text) -> replaced(Rest, <<Text/binary, 16#fffd/utf8>>);
replaced(<<>>, Text) -> Text.

%%% To the group leader

%% Through a process in between: so that an answer that comes too late is
%% nowhere in the caller's mailbox.
show(Text, Timeout) ->
    Leader = group_leader(),
    Caller = self(),
    {Pid, Mon} = spawn_monitor(fun() -> put_chars(Leader, Caller, Text) end),
    receive
        {'DOWN', Mon, process, _, _} -> true
    after Timeout ->
        _ = erlang:demonitor(Mon, [flush]),
        exit(Pid, kill)
    end.

put_chars(Leader, Caller, Text) ->
    Mon = erlang:monitor(process, Caller),
    case request(Leader, Mon, Text) of
        {error, _} -> request(Leader, Mon, escaped(Text));
        _ -> ok
    end.

%% Ends with the group leader, or with the caller.
request(Leader, CallerMon, Text) ->
    Ref = erlang:monitor(process, Leader),
    Leader ! {io_request, self(), Ref, {put_chars, unicode, Text}},
    receive
        {io_reply, Ref, Reply} ->
            _ = erlang:demonitor(Ref, [flush]),
            Reply;
        {'DOWN', Ref, process, _, _} -> gone;
        {'DOWN', CallerMon, process, _, _} -> gone
    end.

%% For a device that takes Latin-1 only, or less.
escaped(Text) ->
    << <<(escape(C))/binary>> || <<C/utf8>> <= Text >>.

escape(C) when C < 128 -> <<C>>;
escape(C) -> iolist_to_binary(io_lib:format("\\x{~.16B}", [C])).

%%% Into the result

%% @doc Run this and keep what Python prints meanwhile, at most so many bytes of
%% each stream; a longer one is cut, and says so.
-spec capture(pos_integer(), fun(() -> Result)) -> {Result, captured()}.
capture(Max, Run) ->
    Before = put(?CAPTURE, #capture{max = Max}),
    try Run() of
        Result ->
            #capture{stdout = Out, stderr = Err} = get(?CAPTURE),
            {Result, {stdout, kept(Out, Max), stderr, kept(Err, Max)}}
    after
        take_up(Before)
    end.

%% @doc An Erlang function runs for Python: requests that it makes print as they
%% say themselves.
-spec set_aside() -> term().
set_aside() ->
    erase(?CAPTURE).

%% @doc It has ended.
-spec take_up(term()) -> ok.
take_up(undefined) ->
    _ = erase(?CAPTURE),
    ok;
take_up(Capture) ->
    _ = put(?CAPTURE, Capture),
    ok.

keep(1, Bytes, #capture{stdout = Kept, max = Max} = Capture) ->
    Capture#capture{stdout = more(Bytes, Kept, Max)};
keep(2, Bytes, #capture{stderr = Kept, max = Max} = Capture) ->
    Capture#capture{stderr = more(Bytes, Kept, Max)}.

%% The size goes on being counted when nothing more is kept.
more(Bytes, {Size, Kept}, Max) when Size < Max ->
    Taken = min(byte_size(Bytes), Max - Size),
    {Size + byte_size(Bytes), <<Kept/binary, (binary:part(Bytes, 0, Taken))/binary>>};
more(Bytes, {Size, Kept}, _) ->
    {Size + byte_size(Bytes), Kept}.

kept({Size, Kept}, Max) when Size =< Max ->
    text(Kept);
kept({Size, Kept}, Max) ->
    Bytes = whole_characters(Kept),
    Mark = ["\n[", integer_to_list(Size - Max), " more bytes]\n"],
    iolist_to_binary([text(Bytes), Mark]).

%% A character that the limit cut in two is left out.
whole_characters(Bytes) ->
    case unicode:characters_to_binary(Bytes) of
        {incomplete, Good, _} -> Good;
        _ -> Bytes
    end.
