%% SPDX-License-Identifier: Apache-2.0
%% @doc Erlang functions that Python may call, by name.
%%
%% A function runs in the process whose Python code calls it, and that process
%% waits for Python while it does not; so there is no other process on the way,
%% and what a function does with the mailbox, the group leader or the process
%% dictionary is done to those of the caller.  What Python calls outside of any
%% request (in a thread of its own) runs in a process of its own.
-module(py_callback).

-export([register/2, register/3, unregister/1, is_registered/1, registered/0]).
-export([run/5, serve/3, serve_afar/3, apply_function/3]).
-export([context/0, deadline/0, in_request/0, caller/0, port/0]).

-export_type([function_name/0, answer/0]).

-include("../../port/py_wire.hrl").

-define(CALL, '$py_callback').
%% No term with a segment in it has fewer bytes.
-define(LEAST_SHM, 64).
-define(SMALL_TUPLE, 131, 104).
-define(SMALL_BIG, 110, 8, 0).

-type function_name() :: terrarium_config:name().

-type answer() :: {Number :: binary(), Opcode :: byte(), Etf :: binary()}.
%% What to tell Python: of which of its callbacks, that it returned or failed,
%% and what.

%%% The functions

%% @doc Let Python call this function under this name.  It gets the list of
%% arguments, and if it takes two also the map of keyword arguments, whose keys
%% are binaries.  A name that is in use is given to the new function.
-spec register(function_name(), fun(([term()]) -> term()) | fun(([term()], map()) -> term())) ->
    ok | {error, {invalid, atom(), term()}}.
register(Name, Fun) when is_function(Fun, 1); is_function(Fun, 2) ->
    put_function(Name, Fun);
register(_, Fun) ->
    {error, {invalid, function, Fun}}.

%% @doc The same for an exported function; it is looked up when it is called, so
%% new code is used as soon as it is loaded.
-spec register(function_name(), module(), atom()) -> ok | {error, {invalid, atom(), term()}}.
register(Name, Module, Function) when is_atom(Module), is_atom(Function) ->
    put_function(Name, {Module, Function});
register(_, Module, Function) ->
    {error, {invalid, function, {Module, Function}}}.

put_function(Name, Function) ->
    case terrarium_config:name(Name) of
        {ok, Key} -> py_registry:put_function(Key, Function);
        error -> {error, {invalid, name, Name}}
    end.

%% @doc Python can not call it any more; fine if it could not.
-spec unregister(function_name()) -> ok.
unregister(Name) ->
    case terrarium_config:name(Name) of
        {ok, Key} -> py_registry:remove_function(Key);
        error -> ok
    end.

%% @doc Can Python call a function of this name?
-spec is_registered(function_name()) -> boolean().
is_registered(Name) ->
    case terrarium_config:name(Name) of
        {ok, Key} -> py_registry:function(Key) =/= none;
        error -> false
    end.

%% @doc The names.
-spec registered() -> [binary()].
registered() ->
    py_registry:functions().

%%% A call

%% @private Run what a CALLBACK frame of a request to this context asks for.  Never
%% fails: what goes wrong is told to Python, as long as it is less than `Max'
%% bytes.
-spec run(binary(), pos_integer(), pid(), port(), py_request:deadline()) -> answer().
run(Body, Max, Context, Port, Deadline) ->
    Before = put(?CALL, {Context, Deadline, true, Port}),
    Answer = run(Body, Max),
    ok = call_again(Before),
    Answer.

run(<<?SMALL_TUPLE, 4, ?SMALL_BIG, Number:8/binary, _/binary>> = Body, Max) ->
    {Opcode, Etf} = bounded(answer(Body), Max),
    {Number, Opcode, Etf}.

%% @doc In a function that Python called: the context whose Python it was.
-spec context() -> pid() | undefined.
context() ->
    case get(?CALL) of
        {Context, _, _, _} -> Context;
        _ -> undefined
    end.

%% @doc In a function that Python called: when the time of the request is up.
-spec deadline() -> py_request:deadline().
deadline() ->
    case get(?CALL) of
        {_, Deadline, _, _} -> Deadline;
        _ -> infinity
    end.

%% @doc In a function that Python called: does it run in the process that made
%% the request?  (Else Python called outside of any.)
-spec in_request() -> boolean().
in_request() ->
    case get(?CALL) of
        {_, _, InRequest, _} -> InRequest;
        _ -> false
    end.

%% @private In a function that Python called: the process that made the request, perhaps
%% one of another node; outside of any, the context.
-spec caller() -> pid() | undefined.
caller() ->
    case in_request() of
        true -> py_remote_runner:caller();
        false -> context()
    end.

%% @private In a function that Python called: the port of the helper that called,
%% which closes some time after that helper's end.
-spec port() -> port() | undefined.
port() ->
    case get(?CALL) of
        {_, _, _, Port} -> Port;
        _ -> undefined
    end.

answer(Body) ->
    Handles = py_handles:of_port(port()),
    try py_handles:taken(Handles, Body, binary_to_term(Body, [safe])) of
        {ok, {_, Name, Args, Kwargs}} when is_binary(Name) ->
            encoded(called_aside(Name, Args, Kwargs), Handles);
        {ok, {_, Name, Args, Kwargs}} ->
            encoded(called(Name, Args, Kwargs), Handles);
        {error, forgotten} ->
            encoded(raised(error, {limit, handles}, []), Handles);
        {error, forged} ->
            _ = py_port:violated(port()),
            encoded(raised(error, forged, []), Handles)
    catch
        error:badarg -> encoded(raised(error, undecodable(Body), []), Handles)
    end.

encoded({value, Value}, Handles) ->
    called_with(py_handles:given(Handles, Value));
encoded({raised, Class, Reason, Stack}, none) ->
    {?FRAME_RAISED, term_to_binary({Class, Reason, [frame(F) || {_, _, _, _} = F <- Stack]})};
encoded({raised, Class, Reason, _}, Handles) ->
    %% Where this node's code lies is nothing to strangers.
    {?FRAME_RAISED, term_to_binary({Class, py_handles:given(Handles, Reason), []})}.

undecodable(Body) ->
    case py_etf_atoms:unknown(Body) of
        {ok, Name} -> {unknown_atom, Name};
        none -> badarg
    end.

%% What the request captures is not what a user's function makes Python print.
called_aside(Name, Args, Kwargs) ->
    Capture = py_stdout:set_aside(),
    Answer = called(Name, Args, Kwargs),
    ok = py_stdout:take_up(Capture),
    Answer.

%% Python may give a name as an atom as well.
called(Name, Args, Kwargs) when is_atom(Name) ->
    called(atom_to_binary(Name), Args, Kwargs);
called(Name, Args, Kwargs) ->
    try
        {value, apply_function(Name, Args, Kwargs)}
    catch
        throw:{?MODULE, Reason} -> raised(undefined, Reason, []);
        Class:Reason:Stack -> raised(Class, Reason, Stack)
    end.

%% Nobody may have the value any more when Python reads it, so the segments of
%% shared memory in it are held for as long.
called_with(Value) ->
    Etf = term_to_binary(Value),
    case byte_size(Etf) >= ?LEAST_SHM andalso binary:match(Etf, <<"py_shm">>) =/= nomatch of
        true -> ok = py_courier:in_transit(port(), Value);
        false -> ok
    end,
    {?FRAME_CALLED, Etf}.

%% @private Call it by its name, in the name of Python; what is wrong with that is told
%% to Python when it ends the calling function.
-spec apply_function(term(), [term()], map()) -> term().
apply_function(Name, Args, Kwargs) ->
    case py_grants:may_call(port(), Name) andalso find_and_apply(Name, Args, Kwargs) of
        {ok, Value} -> Value;
        %% What is not granted is not there.
        _ -> throw({?MODULE, Name})
    end.

%% Where the request is that of a process of another node, its functions go first.
find_and_apply(Name, Args, Kwargs) when is_binary(Name) ->
    case py_remote_runner:forward(Name, Args, Kwargs) of
        {ok, _} = Done -> Done;
        none -> own(Name, Args, Kwargs)
    end;
find_and_apply(Service, Args, Kwargs) ->
    own(Service, Args, Kwargs).

own(Name, Args, Kwargs) ->
    case py_registry:function(Name) of
        none -> none;
        Function -> {ok, with_arguments(Function, Name, Args, Kwargs)}
    end.

with_arguments(Function, Name, Args, Kwargs) ->
    case {Function, map_size(Kwargs)} of
        {Fun, _} when is_function(Fun, 2) -> Fun(Args, Kwargs);
        {Fun, 0} when is_function(Fun) -> Fun(Args);
        {{M, F}, 0} -> exported(M, F, Args);
        {{M, F}, _} -> M:F(Args, Kwargs);
        {_, _} -> error({no_keyword_arguments, Name})
    end.

exported(M, F, Args) ->
    case erlang:function_exported(M, F, 1) orelse code:ensure_loaded(M) of
        true -> M:F(Args);
        _ -> either(M, F, Args)
    end.

either(M, F, Args) ->
    case erlang:function_exported(M, F, 2) andalso not erlang:function_exported(M, F, 1) of
        true -> M:F(Args, #{});
        false -> M:F(Args)
    end.

%% @private Run a function for the Python of a context of another node, by which the
%% calling process is waited for; `none' if there is no such function here.
-spec serve_afar({binary(), [term()], map()}, pid(), py_request:deadline()) ->
    {returned, term()} | {raised, throw | error | exit, term(), [term()]} | none.
serve_afar({Name, Args, Kwargs}, Context, Deadline) ->
    Before = put(?CALL, {Context, Deadline, true, undefined}),
    Answer = try find_and_apply(Name, Args, Kwargs) of
                 {ok, Value} -> {returned, Value};
                 none -> none
             catch
                 Class:Reason:Stack -> {raised, Class, Reason, lists:map(fun bare/1, Stack)}
             end,
    ok = call_again(Before),
    Answer.

%% Arguments stay here.
bare({M, F, Args, Info}) when is_list(Args) -> {M, F, length(Args), Info};
bare(Frame) -> Frame.

call_again(undefined) ->
    _ = erase(?CALL),
    ok;
call_again(Before) ->
    _ = put(?CALL, Before),
    ok.

%% `{Class, Reason, Stack}'; the class `undefined' means: no such function.
raised(Class, Reason, Stack) ->
    {raised, Class, Reason, Stack}.

frame({M, F, Args, Info}) when is_list(Args) ->
    frame({M, F, length(Args), Info});
frame({M, F, Arity, Info}) ->
    File = case unicode:characters_to_binary(proplists:get_value(file, Info, "")) of
               Text when is_binary(Text) -> Text;
               _ -> <<>>
           end,
    {atom_to_binary(M), atom_to_binary(F), Arity, File, proplists:get_value(line, Info, 0)}.

max_frame(Context) ->
    case py_registry:find(Context) of
        {ready, _, _, {Max, _}, _} -> Max;
        _ -> ?WIRE_MAX_FRAME
    end.

bounded({_, Etf}, Max) when byte_size(Etf) > Max ->
    encoded(raised(error, {too_large, byte_size(Etf), Max}, []), none);
bounded(Answer, _) ->
    Answer.

%% @private Have a callback of this context that belongs to no request run by a
%% process of its own, and wait for that.  It ends with the port, as a request
%% does with its caller: nobody would hear what the function returns.
-spec serve(port(), pid(), binary()) -> ok.
serve(Port, Context, Body) ->
    PortMon = erlang:monitor(port, Port),
    {Pid, Mon} = spawn_monitor(fun() -> serving(Port, Context, Body) end),
    receive
        {'DOWN', Mon, process, _, _} ->
            _ = py_port:served(Port, byte_size(Body)),
            ok;
        {'DOWN', PortMon, _, _, _} ->
            true = exit(Pid, shutdown),
            ok
    end.

serving(Port, Context, Body) ->
    _ = put(?CALL, {Context, infinity, false, Port}),
    ok = py_caller:serving(Context, Port),
    {Number, Opcode, Etf} = run(Body, max_frame(Context)),
    py_port:reply(Port, Number, Opcode, Etf).
